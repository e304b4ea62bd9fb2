"""What is kept of documents, and pictures of their pages."""

from __future__ import annotations

from typing import Final

from tests.mutants import Defence

PAPERS: Final = (
    Defence(
        name="pictures of pages go with the octets",
        why="What is no longer kept could still be read from the pictures of its pages.",
        file="mailstore/store/keeping.py",
        text="rows.change(documented.DROP_THUMBNAILS_OF, message=message_id)",
        instead="pass",
        test="tests/test_store_sql.py::test_thumbnails_go_with_the_octets_and_records_with_the_jobs",
    ),
    Defence(
        name="no picture comes late",
        why="One that is made when the octets are gone would stay for ninety days.",
        file="mailstore/store/documented.py",
        text="if found is None or found[1] == Place.GONE:",
        instead="if found is None:",
        test="tests/test_store_sql.py::test_thumbnails_go_with_the_octets_and_records_with_the_jobs",
    ),
    Defence(
        name="pictures of pages are small",
        why="They lie in the database, and a document that is made for it would fill it.",
        file="mailstore/store/documented.py",
        text="if len(png) > THUMBNAIL_OCTETS or",
        instead="if",
        test="tests/test_store_sql.py::test_thumbnails_are_few_and_small",
    ),
    Defence(
        name="pictures of pages are few",
        why="A job of thousands of documents would fill the database.",
        file="mailstore/store/documented.py",
        text="if len(rows.all(THUMBNAILS_OF, job=job_id)) >= THUMBNAILS:",
        instead="if False:",
        test="tests/test_store_sql.py::test_thumbnails_are_few_and_small",
    ),
    Defence(
        name="a removed printer's pages are gone",
        why="Who gets its name later would see what was printed there before.",
        file="mailstore/store/sql.py",
        text="yield from documented.forget(rows, printer)",
        instead="pass",
        test="tests/test_store_sql.py::test_of_a_forgotten_printer_no_page_is_seen",
    ),
    Defence(
        name="a mail that is made ready again has the same ornaments",
        why="A picture would print at the first attempt and be missing at the second, or from what is printed again.",
        file="mailstore/store/repeated.py",
        text="if str(message) not in messages:",
        instead="if True:",
        test="tests/test_store_sql.py::test_asked_again_of_a_mail_it_answers_the_same",
    ),
    Defence(
        name="few ornaments are remembered",
        why="Whoever sends ever new pictures would fill the database.",
        file="mailstore/store/repeated.py",
        text="if count > MOST:",
        instead="if False:",
        test="tests/test_store_sql.py::test_only_the_latest_pictures_are_remembered",
    ),
    Defence(
        name="of confidential printers no page is shown",
        why="What was drawn before the printer's entry said so would still be seen.",
        file="appliance/job_file.py",
        text="return () if printer and printer.confidential else await store.thumbnails(job.id)",
        instead="return await store.thumbnails(job.id)",
        test="tests/test_web_jobs.py::test_pages_of_a_printer_that_became_confidential_are_not_shown",
    ),
    Defence(
        name="a picture is as long as it says",
        why="What a converter that was taken over leaves would be read beyond its end, or hide something behind it.",
        file="printerbridge/thumbnails.py",
        text=" or len(octets) != header.end() + width * height * components",
        instead="",
        test="tests/test_thumbnails.py::test_what_is_not_what_it_says_is_no_picture",
    ),
    Defence(
        name="a picture of a page is a file of its own",
        why="A converter that was taken over could leave a link to a file of the bridge, or a pipe that never ends.",
        file="printerbridge/thumbnails.py",
        text="size = sandbox.regular_file(path)",
        instead="size = path.stat().st_size if path.exists() else 0",
        test="tests/test_thumbnails.py::test_nothing_but_a_file_is_read",
    ),
    Defence(
        name="every picture fits",
        why="Noise would be larger than is kept of a page.",
        file="printerbridge/thumbnails.py",
        text="_BITS = (8, 5, 3, 2)",
        instead="_BITS = (8,)",
        test="tests/test_thumbnails.py::test_what_is_still_too_large_has_fewer_colours",
    ),
)
