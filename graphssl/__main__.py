"""``python -m graphssl``."""

import sys

from graphssl.cli import main

sys.exit(main())
