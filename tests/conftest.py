"""For every test: nothing is judged by the clock. A busy machine makes examples slow, not wrong."""

from hypothesis import settings

settings.register_profile("aigw", deadline=None)
settings.load_profile("aigw")
