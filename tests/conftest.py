"""For all tests: none of them may read or write the value cache of the user who runs them."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["CHIASM_CACHE"] = "off"  # the commands that tests start in processes of their own inherit it

# A gate must give the same verdict twice. To look for new counterexamples: HYPOTHESIS_PROFILE=default make unit
settings.register_profile("gate", derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
