"""Who really sent a mail: SPF, DKIM, DMARC and ARC, and what they prove together.

Security: everything judged here is a stranger's: the mail, and the answers of the DNS of his domains.  Every look-up
has a deadline, every list a bound (RFC 7208 section 4.6.4), and nothing that is malformed proves anything.
"""
