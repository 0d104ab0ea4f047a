"""The tables of docs/PARITY.md from what `run --json FILE` wrote.

    python table.py FILE
"""
import json
import sys


def cell(row):
    number = '%.0e' % row['difference'] if 'difference' in row else '-'
    return number + {'pass': '', 'pass (30 x)': ' *', 'FAILED': ' FAILED'}.get(row['status'], ' (%s)' % row['status'])


def matrix(rows):
    """A line a method, a column a network."""
    names = list(dict.fromkeys(r['network'] for r in rows))
    print('| method | ours | ' + ' | '.join(names) + ' |\n|' + '---|' * (len(names) + 2))
    for key in dict.fromkeys((r['method'], r['ours']) for r in rows):
        cells = {r['network']: cell(r) for r in rows if (r['method'], r['ours']) == key}
        print('| %s | `%s` | %s |' % (*key, ' | '.join(cells.get(n, '') for n in names)))


def worst(rows):
    """A line a network: how many comparisons, and the largest difference of those that pass."""
    print('| network | zennit | captum |\n|---|---|---|')
    for name in dict.fromkeys(r['network'] for r in rows):
        line = []
        for peer in ('zennit', 'captum'):
            of = [r for r in rows if r['network'] == name and r['peer'] == peer and r['status'].startswith('pass')]
            top = max(of, key=lambda r: r['difference'])
            line.append('%d, %.0e (%s)' % (len(of), top['difference'], top['method']))
        print('| %s | %s |' % (name, ' | '.join(line)))


def main():
    with open(sys.argv[1]) as f:
        report = json.load(f)
    rows = report['rows']
    large = [n for n in dict.fromkeys(r['network'] for r in rows) if n[-1].isdigit() or n in ('vgg11_bn', 'googlenet')]
    for peer in ('zennit', 'captum'):
        print('\n%s %s\n' % (peer, report['versions'][peer]))
        matrix([r for r in rows if r['network'] in large and r['peer'] == peer])
    print()
    worst([r for r in rows if r['network'] not in large])


if __name__ == '__main__':
    main()
