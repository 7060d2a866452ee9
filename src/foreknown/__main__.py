"""python -m foreknown"""

import sys

from foreknown.cli import main

sys.exit(main())
