"""Long work over many samples, whatever it is: cells, a store that survives anything, and engines that fill it.

What is computed is a `Work`: picklable, it opens a group (a model, say) and computes the cells of a task with it.
`carry_out` computes those cells that a `Store` lacks, on any `Engine`::

    store = Store(folder, {"scores": {"sample": "string", "value": "float"}})
    tally = carry_out(store, work, tasks, engine("processes", workers=4))
    store.query("SELECT sample, avg(value) FROM scores GROUP BY sample")
"""
