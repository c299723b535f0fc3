"""Colours of specs for Pygments: documentation, notebooks, LaTeX. `pygmentize -l netdsl resnet.net`."""
