"""The command ``graphc``: one file per command. At import these load click alone, so that help comes at once."""
