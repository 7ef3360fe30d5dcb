/// The filters that are implemented; a template that uses another is refused when it is parsed.
enum FilterName: String {
    case abs, attr, batch, capitalize, center, count, d, `default`, dictsort, e, escape, filesizeformat, first, float
    case forceescape, format, groupby, indent, int, items, join, last, length, list, lower, map, max, min, pprint,
        reject
    case rejectattr, replace, reverse, round, safe, select, selectattr, slice, sort, string, striptags, sum, title,
        tojson
    case trim, truncate, unique, upper, urlencode, wordcount, wordwrap
}

/// The tests that are implemented.
enum TestName: String {
    case boolean, callable, defined, divisibleby, eq, equalto, escaped, even, `false`, filter, float, ge, greaterthan,
        gt
    case `in`, integer, iterable, le, lessthan, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string,
        test
    case `true`, undefined, upper

    /// A test by its name or, as `select` takes it, by its operator.
    init?(_ name: String) {
        switch name {
        case "==": self = .eq
        case "!=": self = .ne
        case "<": self = .lt
        case "<=": self = .le
        case ">": self = .gt
        case ">=": self = .ge
        default: self.init(rawValue: name)
        }
    }
}
