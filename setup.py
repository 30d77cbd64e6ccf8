"""What pyproject.toml cannot say: what the registry's page shows.

README.md links to files beside it, for who reads it in the repository. The page knows
no files, so it gets the words without the links, and no pictures.
"""

import re
from pathlib import Path

from setuptools import setup

text = Path('README.md').read_text(encoding='utf-8')
text = re.sub(r'^!\[[^]]*\]\((?!https:)[^)]*\)\n\n', '', text, flags=re.M)
text = re.sub(r'\[([^]]*)\]\((?!https:)[^)]*\)', r'\1', text)

setup(long_description=text, long_description_content_type='text/markdown')
