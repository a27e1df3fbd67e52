"""Forms of columns: the way in which values are written as text, such as `$#,##0.00`.

A form is parsed from the `format` of a column. It reads texts into values and writes values back
exactly as they were uploaded.

| | dates and times | numbers | durations |
|---|---|---|---|
| reading and writing | `moments` | `numbers` | `durations` |
| language of formats | `moment_formats` | `number_patterns` | `durations` |
| inference from texts | `moment_inference` | `number_inference`, `number_texts` | `durations` |
"""
