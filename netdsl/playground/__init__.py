"""The playground's back end: the answers of the command line and of the language server, as JSON."""
