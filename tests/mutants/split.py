"""Split mail: what its parts may say, and what the whole is held to."""

from __future__ import annotations

from typing import Final

from tests.mutants import Defence

_JUDGED = "tests/test_split_mail.py::test_the_whole_is_trusted_no_more_than_its_least_part"

SPLIT: Final = (
    Defence(
        name="who sends a split mail says its outer header",
        why="The header inside was seen by no server on the way, so a sender who stands there is never believed.",
        file="mailstore/partial.py",
        text="field for field in _fields(inner) if _OF_WHOLE.match(field))",
        instead="field for field in _fields(inner))",
        test="tests/test_partial.py::test_nothing_of_the_inner_header_but_what_is_of_the_content",
    ),
    Defence(
        name="the header of a whole is bounded",
        why="Parts in any number could make one header of all of them, which is kept in memory.",
        file="mailstore/partial.py",
        text="if (end if found else len(kept) - 1) > self._limit:",
        instead="if False:",
        test="tests/test_partial.py::test_a_header_is_bounded",
    ),
    Defence(
        name="parts are not encoded",
        why="What is encoded twice hides from whoever looks at the parts.",
        file="mailstore/partial.py",
        text="if encoding not in _PLAIN:",
        instead="if False:",
        test="tests/test_partial.py::test_a_part_is_not_encoded_itself",
    ),
    Defence(
        name="a whole is judged anew",
        why="Whoever judged the parts has judged nothing of the whole, nor by the rules of today.",
        file="appliance/partial.py",
        text="            if not verdict.allowed:",
        instead="            if False:",
        test="tests/test_split_mail.py::test_rules_that_changed_meanwhile_count",
    ),
    Defence(
        name="a whole is no loop",
        why="A report, or an automatic reply, hidden in parts would print.",
        file="appliance/partial.py",
        text="            refuse_loop(intake.heading,",
        instead="            (lambda *_: None)(intake.heading,",
        test="tests/test_split_mail.py::test_a_whole_that_is_refused_in_one_piece_is_refused_in_parts",
    ),
    Defence(
        name="a whole is no part",
        why="Parts in parts would be put together without end.",
        file="appliance/partial.py",
        text="            if intake.part is not None:",
        instead="            if False:",
        test="tests/test_split_mail.py::test_a_whole_that_is_refused_in_one_piece_is_refused_in_parts",
    ),
    Defence(
        name="the least part's trust is the whole's",
        why="One part of an insider must not lift what all others bring.",
        file="appliance/partial.py",
        text="if worst is None or _TRUSTS.index(verdict.trust) > _TRUSTS.index(worst.trust):",
        instead="if worst is None:",
        test=_JUDGED,
    ),
    Defence(
        name="a part's signature proves its own author",
        why="The whole's author stands in the first part alone; a signature of another proves nothing of him.",
        file="appliance/recalled.py",
        text="(Proof.DKIM, Proof.ARC) and proved == author else",
        instead="(Proof.DKIM, Proof.ARC) else",
        test=_JUDGED,
    ),
    Defence(
        name="SPF of a part proves an author aligned with it",
        why="Whoever proves an address of his own domain must not write in another's name.",
        file="appliance/recalled.py",
        text="spf and (here or proved == author) else",
        instead="spf else",
        test=_JUDGED,
    ),
    Defence(
        name="a login that is gone proves no whole",
        why="Somebody who left while his parts waited may not print any more.",
        file="appliance/partial.py",
        text="return frozenset(map(canonical, person.addresses)) if person else _NONE",
        instead='return frozenset(map(canonical, person.addresses)) if person else frozenset({"ada@example.com"})',
        test=_JUDGED,
    ),
    Defence(
        name="a revoked address prints no whole",
        why="A capability address that was taken back while parts waited must not print what they make.",
        file="appliance/recalled.py",
        text="return any(not one.revoked_at and not 0 < one.expires_at <= now for one in known)",
        instead="return bool(known)",
        test="tests/test_split_mail.py::test_by_a_capability_address_the_whole_prints_while_it_stands",
    ),
    Defence(
        name="an address that moved takes its rules along",
        why="By the rules of another printer, whose address it is now, nothing may reach this one.",
        file="appliance/partial.py",
        text="or printer.is_group or printer.name not in names:",
        instead="or printer.is_group:",
        test="tests/test_split_mail.py::test_an_address_that_became_another_printers_prints_nowhere",
    ),
    Defence(
        name="a poisonous split mail is put off",
        why="Each ring would put 256 MiB together anew, only to fail again.",
        file="appliance/partial.py",
        text="if put_off is not None and now < put_off.again <= now + LONGEST:",
        instead="if False:",
        test="tests/test_split_mail.py::test_one_that_cannot_be_put_together_keeps_nobody_waiting[no room]",
    ),
    Defence(
        name="a poisonous split mail stops no other",
        why="One that meets a bug would keep all behind it waiting for ever.",
        file="appliance/partial.py",
        text="""            except Exception:
                log.exception("split mail failed", job=split.job_id)""",
        instead="""            except ZeroDivisionError:
                log.exception("split mail failed", job=split.job_id)""",
        test="tests/test_split_mail.py::test_one_that_cannot_be_put_together_keeps_nobody_waiting[a bug]",
    ),
    Defence(
        name="parts are known by their proved sender",
        why="A stranger who guesses an id could put a part of his own into somebody's mail.",
        file="mailstore/store/parts.py",
        text='SPLIT.c.sender == given("by"), SPLIT.c.part_id',
        instead='sa.or_(SPLIT.c.sender == given("by"), SPLIT.c.sender != given("by")), SPLIT.c.part_id',
        test="tests/test_store_sql.py::test_parts_are_known_by_sender_printer_and_id",
    ),
    Defence(
        name="all parts come to one address",
        why="Rules and options are the address's: which part comes first must not choose between two.",
        file="mailstore/store/parts.py",
        text="if canonical(address) != canonical(storable(recipient.address)):",
        instead="if False:",
        test="tests/test_store_sql.py::test_all_parts_come_to_one_address",
    ),
    Defence(
        name="few split mails wait",
        why="Each costs a look whenever parts come, so one sender may not leave thousands of first parts.",
        file="mailstore/store/parts.py",
        text="if waiting >= AT_MOST:",
        instead="if False:",
        test="tests/test_store_sql.py::test_few_split_mails_of_one_sender_wait",
    ),
    Defence(
        name="split mail is bounded",
        why="Parts without end would fill the disk before anybody could say that they are too many.",
        file="mailstore/store/parts.py",
        text="if max(part.number, part.total) > limits.parts:",
        instead="if False:",
        test="tests/test_store_sql.py::test_limits_of_split_mail",
    ),
    Defence(
        name="the octets of split mail are bounded",
        why="The whole could be larger than anything that is taken in one piece.",
        file="mailstore/store/parts.py",
        text="if (known.octets if known else 0) + octets > limits.octets:",
        instead="if False:",
        test="tests/test_store_sql.py::test_limits_of_split_mail",
    ),
    Defence(
        name="the same mail in parts prints once",
        why="What came in one piece, or under another id, would print again.",
        file="mailstore/store/parts.py",
        text="if mail and (earlier := seen.job_of(rows, mail, now)):",
        instead="if False and (earlier := 0):",
        test="tests/test_store_sql.py::test_the_same_mail_in_parts_prints_once",
    ),
)
