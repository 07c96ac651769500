"""``python -m graphc`` is the command ``graphc``."""

from graphc.cli.main import main

main()
