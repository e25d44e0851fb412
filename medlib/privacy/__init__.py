"""The protection of people: keyed pseudonyms, anonymity, suppression, noise, encryption, and the attacks that they stop."""
