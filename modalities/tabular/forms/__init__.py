"""Forms of columns: the way in which values are written as text, such as `$#,##0.00`.

A form is parsed from the `format` of a column. It reads texts into values and writes values back
exactly as they were uploaded.
"""
