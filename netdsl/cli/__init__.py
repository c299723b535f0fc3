"""The command line: one file per command. What a command reads and writes goes through `files`."""
