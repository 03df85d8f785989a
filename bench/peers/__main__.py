"""python3 bench/peers, which script/compare-peers runs."""
import sys

import compare

sys.exit(compare.main(sys.argv[1:]))
