"""The page: what people see of their printers, and what they do with them, in a browser.

A request's way in: `guard` looks at what every request must be before anything of ours sees it, `login` says who asks,
the page's own file gathers what it shows, a template writes it.  What somebody may see and do `appliance.desk` decides.
Every page is whole without JavaScript; `live` tells the others when to fetch a part of theirs again.

A page is one file with a router, and one line in `app.PAGES`; whoever asks for it is logged in.
"""
