"""What the store asks of a mail for printers, and remembers."""

from __future__ import annotations

from typing import Final

from tests.mutants import Defence

STORE: Final = (
    Defence(
        name="the same mail prints once",
        why="A server that heard no answer sends again, and nobody wants the same pages twice.",
        file="mailstore/store/admitting.py",
        text="if mail and (job_id := seen.job_of(self._rows, mail, self._now)):",
        instead="if mail and (job_id := 0):",
        test="tests/test_store_sql.py::test_the_same_mail_makes_one_job",
    ),
    Defence(
        name="what never came on paper may come again",
        why="A mail whose job was aborted or canceled would otherwise be lost without a word when it is sent again.",
        file="mailstore/store/seen.py",
        text="_UNDONE = (JobState.ABORTED, JobState.CANCELED)",
        instead="_UNDONE = ()",
        test="tests/test_store_sql.py::test_what_ended_without_paper_may_come_again",
    ),
    Defence(
        name="both halves of a digest",
        why="Half of it alone could be met by somebody with much time, who would make another's mail go unprinted.",
        file="mailstore/store/seen.py",
        text='.where(SEEN.c.digest == given("which"), SEEN.c.rest == given("rest"))',
        instead='.where(SEEN.c.digest == given("which"), given("rest") == given("rest"))',
        test="tests/test_store_sql.py::test_half_a_digest_is_not_the_mail",
    ),
    Defence(
        name="a signature makes one job on each printer",
        why="A signed mail that somebody got hold of could be printed again and again in its sender's name.",
        file="mailstore/store/seen.py",
        text="return found is not None and found[1] > now",
        instead="return False",
        test="tests/test_store_sql.py::test_a_signature_counts_once",
    ),
    Defence(
        name="limits of an hour",
        why="One sender, or a program gone wild, would use up the paper of all.",
        file="mailstore/store/counting.py",
        text="if most and would > most:",
        instead="if False:",
        test="tests/test_store_sql.py::test_a_printer_takes_so_many_jobs_an_hour",
    ),
    Defence(
        name="nobody uses up another's limit",
        why="Whoever writes somebody's address without proof could keep him from printing.",
        file="mailstore/store/counting.py",
        text='if not (most_jobs or most_octets) or (not sender and whom == "one sender"):',
        instead="if not (most_jobs or most_octets):",
        test="tests/test_store_sql.py::test_a_proved_sender_has_a_limit_of_his_own",
    ),
    Defence(
        name="a group's own limits",
        why="Without them a group of five takes five times what it should.",
        file="mailstore/store/admitting.py",
        text="if recipient.group:",
        instead="if False:",
        test="tests/test_store_sql.py::test_a_group_has_limits_of_its_own_and_a_mail_counts_there_once",
    ),
    Defence(
        name="a wrong clock refuses nobody",
        why="What was counted while the clock ran a year ahead would close the printer for a year.",
        file="mailstore/store/counting.py",
        text='USAGE.c.slot >= given("since"), USAGE.c.slot <= given("until"))\n',
        instead='USAGE.c.slot >= given("since"), given("until") >= number(0))\n',
        test="tests/test_store_sql.py::test_what_a_wrong_clock_counted_refuses_nobody",
    ),
    Defence(
        name="an address to give away is asked for each job",
        why="It was good when its holder said RCPT; a hundred mails at once would all pass by that.",
        file="mailstore/store/admitting.py",
        text="capabilities.check(self._rows, capability, self._now, jobs=count)",
        instead="pass",
        test="tests/test_store_sql.py::test_many_at_once_do_not_get_more_than_it_has",
    ),
    Defence(
        name="only a release waives limits of pages",
        why="A hold by hand that somebody lifts must not let a job past limits that nobody looked at.",
        file="mailstore/store/wishes.py",
        text="if waived := LIMIT in asked.reasons:",
        instead="if waived := True:",
        test="tests/test_store_sql.py::test_a_hold_by_hand_waives_nothing",
    ),
    Defence(
        name="nothing is printed of half a mail",
        why="While parts are missing the job has no document: whoever drained it would call nothing printed.",
        file="mailstore/store/jobs.py",
        text='_WHOLE = JOB.c.reasons != word("job-incoming")',
        instead='_WHOLE = JOB.c.reasons != word("job-nowhere")',
        test="tests/test_store_sql.py::test_nobody_gets_parts",
    ),
    Defence(
        name="a job that was moved is not printed where it was",
        why="Whoever looked at the old printer's line before would print it there, and the new printer once more.",
        file="mailstore/store/jobs.py",
        text="JOB.c.state == word(JobState.PENDING), _AT_ITS_PRINTER)",
        instead='JOB.c.state == word(JobState.PENDING), given("of") == given("of"))',
        test="tests/test_store_sql.py::test_a_job_that_was_moved_is_not_printed_where_it_was",
    ),
    Defence(
        name="nothing is moved out of an open session",
        why="Its client may have been sent the job and print it, and the new printer would print it too.",
        file="mailstore/store/waited.py",
        text="now=asked.now) is not None:",
        instead="now=asked.now) == ():",
        test="tests/test_store_sql.py::test_nothing_is_moved_out_of_an_open_session",
    ),
    Defence(
        name="a code is good while its job is held",
        why="Whoever saw somebody type it in could find by it what became of the job.",
        file="mailstore/store/wishes.py",
        text='release_code=word(""),',
        instead="release_code=JOB.c.release_code,",
        test="tests/test_store_sql.py::test_a_code_is_good_for_as_long_as_the_job_is_held",
    ),
)
