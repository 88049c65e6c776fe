"""One self-contained HTML file: text, tables, charts, and a browser of episodes with their videos and curves.

What may live here: the parts of the page, how they become HTML, and the parts that need a dataset or a run alone. What
a stage found out, it turns into such parts itself (`relabel.page`, `evaluation.page`).
"""

NUM_EPISODES = 10
"""How many episodes a page shows frame by frame, unless somebody wants others."""
