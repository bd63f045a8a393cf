"""Pages and figures. Depends on core alone: it draws whatever geometry the players have.

A new page extends ``templates/base.html`` and fills its blocks ``title``, ``style``, ``defs`` and ``main``:
``templates().get_template("mine.html").render(title=…, script=script("mine.js"))`` with `chiasm.view.html.templates`
and `chiasm.view.shell.script` (leave ``script`` out for a page without one). The security policy allows that one script
by its hash, pictures in ``data:`` addresses, and nothing from outside. Data for a script goes through
`chiasm.view.shell.embedded` into a ``<script type="application/json">``. The style sheet is ``page.css``: sections,
tables with ``.number`` cells, ``.scroll`` around what may be wider than the page, ``.soft`` for asides.

A modality with a drawing of its own registers a renderer, see `chiasm.view.renderers`.
"""
