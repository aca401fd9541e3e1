"""The contract that every algorithm must pass; shipped, so that yours can be run through it, too.

>>> from blackbox.algorithms import RandomSearch
>>> from blackbox.testing import ALGORITHM_CHECKS
>>> for check in ALGORITHM_CHECKS[:3]:
...     check(RandomSearch())

With pytest::

    @pytest.mark.parametrize("check", ALGORITHM_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyAlgorithm())

Every check raises AssertionError with a sentence, and makes its own small problem from the algorithm's capabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blackbox.algorithm import Algorithm
from blackbox.testing._asking import (
    check_asking_twice_never_blocks,
    check_candidates_are_in_the_space,
    check_degenerate_spaces,
    check_fixed_values_are_kept,
    check_ids_are_contiguous,
    check_mixed_spaces,
    check_same_seed_same_candidates,
    check_single_precision,
)
from blackbox.testing._keeping import (
    check_global_generators_are_untouched,
    check_resume_in_a_fresh_process,
    check_save_and_restore_go_on_equally,
    check_settings_are_a_frozen_record,
    check_users_memory_is_their_own,
)
from blackbox.testing._problems import make_optimizer, run_rounds, same, tell, values_at, violations_at
from blackbox.testing._telling import (
    check_all_failed_is_survived,
    check_bad_tells_change_nothing,
    check_constant_and_extreme_values,
    check_constraints,
    check_directions_are_converted_once,
    check_external_points,
    check_failed_rows_are_survived,
    check_identities_are_guarded,
    check_order_and_grouping_do_not_matter,
    check_several_objectives,
)

__all__ = [
    "ALGORITHM_CHECKS",
    "check_all_failed_is_survived",
    "check_asking_twice_never_blocks",
    "check_bad_tells_change_nothing",
    "check_candidates_are_in_the_space",
    "check_constant_and_extreme_values",
    "check_constraints",
    "check_degenerate_spaces",
    "check_directions_are_converted_once",
    "check_external_points",
    "check_failed_rows_are_survived",
    "check_fixed_values_are_kept",
    "check_global_generators_are_untouched",
    "check_identities_are_guarded",
    "check_ids_are_contiguous",
    "check_mixed_spaces",
    "check_order_and_grouping_do_not_matter",
    "check_resume_in_a_fresh_process",
    "check_same_seed_same_candidates",
    "check_save_and_restore_go_on_equally",
    "check_settings_are_a_frozen_record",
    "check_several_objectives",
    "check_single_precision",
    "check_users_memory_is_their_own",
    "make_optimizer",
    "run_rounds",
    "same",
    "tell",
    "values_at",
    "violations_at",
]

ALGORITHM_CHECKS: list[Callable[[Algorithm[Any]], None]] = [
    check_settings_are_a_frozen_record,
    check_candidates_are_in_the_space,
    check_ids_are_contiguous,
    check_same_seed_same_candidates,
    check_order_and_grouping_do_not_matter,
    check_asking_twice_never_blocks,
    check_failed_rows_are_survived,
    check_all_failed_is_survived,
    check_bad_tells_change_nothing,
    check_identities_are_guarded,
    check_save_and_restore_go_on_equally,
    check_resume_in_a_fresh_process,
    check_global_generators_are_untouched,
    check_users_memory_is_their_own,
    check_directions_are_converted_once,
    check_degenerate_spaces,
    check_mixed_spaces,
    check_fixed_values_are_kept,
    check_external_points,
    check_constant_and_extreme_values,
    check_constraints,
    check_several_objectives,
    check_single_precision,
]
