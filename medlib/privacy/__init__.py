"""The protection of people: keyed pseudonyms, anonymity, suppression, noise, encryption, and the attacks that they stop.

`keys`, `vault`: the key, and a workspace locked with it · `identifiers`: what names a person directly · `pseudonyms`: keyed pseudonyms and
shifted dates · `anonymity`: generalisation until nobody stands alone · `cells`: small counts withheld so that totals do not give them away ·
`noise`: differentially private counts and means with a budget · `attacks`: what an outsider would try · `cost`: what protection costs the
forecast and the plan. Encryption and OpenDP are imported by the functions that need them.
"""

from medlib.privacy.anonymity import generalise_ages, measure_anonymity, reach_anonymity
from medlib.privacy.noise import Budget
from medlib.privacy.pseudonyms import make_pseudonyms, shift_dates

__all__ = ["Budget", "generalise_ages", "make_pseudonyms", "measure_anonymity", "reach_anonymity", "shift_dates"]
