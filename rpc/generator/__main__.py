"""`python -m rpc.generator`, the same as `protoc-gen-grid`."""

import sys

from rpc.generator.plugin import main

sys.exit(main())
