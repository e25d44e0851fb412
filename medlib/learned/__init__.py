"""Learned allocation: forecasters that learn from what their decisions cost, and networks that learn to allocate.

`pool` holds the decision of sharing mobile units and its derivative, `focused` the forecasters that learn through it; `seasons` draws
what a network of sites may go through, `policy` answers within milliseconds who sends whom where, and `teach` brings it that up.
"""
