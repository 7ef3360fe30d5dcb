/// The filters that are implemented; a template that uses another is refused when it is parsed.
enum FilterName: String {
    case abs, attr, capitalize, count, d, `default`, dictsort, e, escape, first, float, format, indent, int, items, join
    case last, length, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, safe, select, selectattr
    case sort, string, sum, title, tojson, trim, unique, upper, wordcount
}

/// The tests that are implemented.
enum TestName: String {
    case boolean, callable, defined, divisibleby, eq, equalto, even, `false`, float, ge, greaterthan, gt, `in`, integer
    case iterable, le, lessthan, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string, `true`, undefined
    case upper
}
