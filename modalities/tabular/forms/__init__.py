"""Forms of columns: how the values of a type are written as text, such as `$#,##0.00` or `%-m/%-d/%Y`.

A form is parsed from the `format` of a column. It reads texts into values and writes values back
exactly as they were uploaded.
"""
