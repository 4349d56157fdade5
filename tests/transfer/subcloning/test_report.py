import json

from transmamba_mm.transfer import TransferLine, TransferReport


def report():
    lines = [
        TransferLine(
            f'backbone.blocks.{i}.norm.weight',
            'cloned',
            'norm',
            (8,),
            8,
            8,
            f'backbone.layers.{i // 2}.ln1.weight',
        )
        for i in range(4)
    ]
    lines += [
        TransferLine(f'backbone.blocks.{i}.mixer.fwd.{name}', 'initialized', 'the scan', (8,), 8)
        for i in (1, 3)
        for name in ('D', 'A_log')
    ]
    lines.append(TransferLine('head.fc.weight', 'skipped', 'listed in skip', (2, 8), 16))
    return TransferReport(lines, {'4 -> 2': [0, 2]}, ['backbone.layers.0.ln1.bias'])


def test_summary_counts_parameters_and_weights():
    assert report().summary() == '4 of 9 parameters start from the teacher: 40.0% of 80 weights.'


def test_table_has_a_row_for_all_layers_alike():
    table = report().table()
    summary, header, *rows = table.splitlines()
    assert summary == report().summary()
    assert header.split() == ['status', 'student', 'teacher', 'slice', 'rule']
    assert len(rows) == 3
    assert 'backbone.blocks.0..3.norm.weight' in rows[0]
    assert 'backbone.layers.0,1.ln1.weight' in rows[0]
    assert 'backbone.blocks.1,3.mixer.fwd.D and 1 more' in rows[1]
    assert 'head.fc.weight' in rows[2]


def test_layers_of_stages_share_a_row_and_other_numbers_do_not():
    lines = [
        TransferLine(f'backbone.{key}.weight', 'cloned', 'MLP', (8,), 8, 8, f'backbone.{teacher}')
        for key, teacher in (
            ('stages.0.blocks.0.mlp.fc1', 'layers.0.ffn.layers.0.0.weight'),
            ('stages.1.blocks.0.mlp.fc1', 'layers.1.ffn.layers.0.0.weight'),
            ('stages.1.blocks.1.mlp.fc1', 'layers.3.ffn.layers.0.0.weight'),
        )
    ]
    *_, row = TransferReport(lines).table().splitlines()
    assert 'backbone.stages.0,1.blocks.0,1.mlp.fc1.weight' in row
    assert 'backbone.layers.0,1,3.ffn.layers.0.0.weight' in row


def test_layers_of_a_tower_share_a_row_and_its_rows_of_query_and_key_are_kept():
    lines = [
        TransferLine(
            f'language.backbone.layers.{i}.norm.weight',
            'cloned',
            'norm',
            (8,),
            8,
            8,
            f'layers.{i}.norm1.weight',
        )
        for i in range(3)
    ]
    tower = TransferReport(lines, state_rows={'layers.0': [1, 4]})
    both = report().joined(tower.of_tower('language'))
    assert 'language.backbone.layers.0..2.norm.weight' in both.table()
    assert both.lines[-1].teacher == 'language.layers.2.norm1.weight'
    assert both.state_rows == {'language.layers.0': [1, 4]}


def test_long_keys_are_not_cut():
    key = 'backbone.' + 'x' * 150
    line = TransferLine(key, 'cloned', 'r' * 150, (1,), 1, 1, key, 's' * 150)
    table = TransferReport([line]).table()
    assert table.count(key) == 2 and 'r' * 150 in table and 's' * 150 in table


def test_json_has_every_line(tmp_path):
    path = tmp_path / 'new' / 'report.json'
    report().save(path)
    saved = json.loads(path.read_text())
    assert saved['summary'] == report().summary()
    assert saved['residual_channels'] == {'4 -> 2': [0, 2]}
    assert saved['unused'] == ['backbone.layers.0.ln1.bias']
    assert len(saved['lines']) == 9
    assert TransferLine(**{**saved['lines'][0], 'shape': (8,)}) == report().lines[0]
