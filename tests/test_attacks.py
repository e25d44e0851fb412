"""Every attack that `make trust` tries is stopped."""

import pytest
from trust.attacks import ATTACKS, carry_out, privacy, release, security


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_stopped(name, tmp_path):
    trial = carry_out(name, tmp_path)
    assert trial.held, trial.told


def test_no_attack_hides_another():
    assert len(ATTACKS) == len(privacy.ATTACKS) + len(release.ATTACKS) + len(security.ATTACKS)
