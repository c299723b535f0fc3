"""What the page of the playground asks: the same answers as the command line and the editor give, as JSON."""
