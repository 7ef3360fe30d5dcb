import Foundation

extension Interpreter {
    /// `value | name(arguments)`.
    func filter(_ name: String, _ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let filter = FilterName(rawValue: name) else { throw failure("no filter named \"\(name)\"") }
        switch filter {
        case .`default`, .d:
            let replacement = arguments.value(0, "default_value") ?? .string("")
            let replacesFalse = arguments.value(1, "boolean")?.isTrue ?? false
            return value.isUndefined || (replacesFalse && !value.isTrue) ? replacement : value
        case .abs, .round, .int, .float, .sum, .min, .max: return try numberFilter(filter, value, arguments)
        case .upper, .lower, .capitalize, .title, .trim, .replace, .indent, .escape, .e, .safe, .string, .format,
            .wordcount:
            return try textFilter(filter, value, arguments)
        case .tojson: return .string(try json(value, arguments))
        default: return try listFilter(filter, value, arguments)
        }
    }

    // MARK: - Numbers

    private func numberFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        switch filter {
        case .abs:
            if let integer = value.integer, integer != .min { return .int(Swift.abs(integer)) }
            guard let number = value.number else { throw failure("abs needs a number, got \(value.typeName)") }
            return .double(Swift.abs(number))
        case .round:
            guard let number = value.number else { throw failure("round needs a number, got \(value.typeName)") }
            let scale = pow(10, Double(arguments.value(0, "precision")?.integer ?? 0))
            switch arguments.value(1, "method") {
            case .string("ceil"): return .double((number * scale).rounded(.up) / scale)
            case .string("floor"): return .double((number * scale).rounded(.down) / scale)
            default:
                if let integer = value.integer, scale >= 1 { return .int(integer) }
                return .double((number * scale).rounded(.toNearestOrEven) / scale)
            }
        case .int:
            let fallback = arguments.value(0, "default") ?? .int(0)
            switch value {
            case .string(let text):
                let digits = PythonString.strip(text)
                if let integer = Int(digits) { return .int(integer) }
                return Double(digits).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.int) ?? fallback
            default:
                if let integer = value.integer { return .int(integer) }
                return value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.int) ?? fallback
            }
        case .float:
            let fallback = arguments.value(0, "default") ?? .double(0)
            if case .string(let text) = value { return Double(PythonString.strip(text)).map(Value.double) ?? fallback }
            return value.number.map(Value.double) ?? fallback
        case .sum:
            var total = arguments.value(1, "start") ?? .int(0)
            let attribute = arguments.value(0, "attribute")
            for element in try elements(of: value) {
                total = try apply(
                    .add, total,
                    try attribute.map { key throws(ChatTemplateError) in
                        try path(key, of: element)
                    } ?? element)
            }
            return total
        default:
            let values = try elements(of: value)
            guard var best = values.first else { return .undefined("the \(filter.rawValue) of nothing") }
            for candidate in values.dropFirst() {
                if try filter == .min ? isLess(candidate, best) : isLess(best, candidate) { best = candidate }
            }
            return best
        }
    }

    // MARK: - Text

    private func textFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        if filter == .safe { return value }
        let text = try text(of: value)
        func string(_ index: Int, _ name: String) throws(ChatTemplateError) -> String {
            guard let argument = arguments.value(index, name) else { throw failure("\(filter.rawValue) needs \(name)") }
            return try self.text(of: argument)
        }
        switch filter {
        case .upper: return .string(text.uppercased())
        case .lower: return .string(text.lowercased())
        case .capitalize: return .string(PythonString.capitalize(text))
        case .title:
            // Jinja's own: words start after white space, "-" or an opening bracket.
            var result = ""
            var isStart = true
            for scalar in text.unicodeScalars {
                result += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
                isStart = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            }
            return .string(result)
        case .trim:
            if case .string(let characters) = arguments.value(0, "chars") {
                return .string(PythonString.strip(text, characters))
            }
            return .string(PythonString.strip(text))
        case .replace:
            let limit = arguments.value(2, "count")?.integer
            return .string(try replace(text, try string(0, "old"), try string(1, "new"), limit ?? .max))
        case .indent: return .string(try indent(text, arguments))
        case .escape, .e:
            var result = text
            for (plain, escaped) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")] {
                result = try replace(result, plain, escaped, .max)
            }
            return .string(result)
        case .format: return .string(try percentFormat(text, arguments.positional))
        case .wordcount: return .int(PythonString.words(text).count)
        default: return .string(text)
        }
    }

    private func indent(_ text: String, _ arguments: CallArguments) throws(ChatTemplateError) -> String {
        let indentation: String
        if case .string(let text) = arguments.value(0, "width") {
            indentation = text
        } else {
            let width = max(arguments.value(0, "width")?.integer ?? 4, 0)
            try checked(byteCount: width)
            indentation = String(repeating: " ", count: width)
        }
        let indentsFirst = arguments.value(1, "first")?.isTrue ?? false
        let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
        let lines = PythonString.lines(text + "\n")
        let (bytes, overflow) = lines.count.multipliedReportingOverflow(by: indentation.utf8.count + 1)
        try checked(byteCount: overflow ? .max : bytes)
        var result = indentsFirst ? indentation : ""
        for (index, line) in lines.enumerated() {
            if index > 0 { result += "\n" + (line.isEmpty && !indentsBlank ? "" : indentation) }
            result += line
        }
        return result
    }

    private func json(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> String {
        // The order of transformers' own filter: ensure_ascii, indent, separators, sort_keys; Jinja's takes indent
        // first.
        var indent = arguments.named.first { $0.name == "indent" }?.value.integer
        if indent == nil, arguments.positional.count == 1 { indent = arguments.positional[0].integer }
        guard indent.map({ (0...64).contains($0) }) ?? true else { throw failure("indent must be in 0 ... 64") }
        var separators = (item: indent == nil ? ", " : ",", key: ": ")
        if let given = arguments.named.first(where: { $0.name == "separators" })?.value {
            let parts = try elements(of: given)
            if parts.count == 2 { separators = (try text(of: parts[0]), try text(of: parts[1])) }
        }
        let sorts = arguments.named.first { $0.name == "sort_keys" }?.value.isTrue ?? false
        return try json(sorts ? sortedByKeys(value) : value, indent: indent, separators: separators)
    }

    private func sortedByKeys(_ value: Value) -> Value {
        switch value {
        case .list(let values): return .list(values.map(sortedByKeys))
        case .tuple(let values): return .tuple(values.map(sortedByKeys))
        case .dictionary(let dictionary):
            var sorted = ValueDictionary()
            let items = dictionary.items.sorted { Value.isLess($0.key.value, $1.key.value) ?? false }
            for (key, value) in items { sorted[key] = sortedByKeys(value) }
            return .dictionary(sorted)
        default: return value
        }
    }

    // MARK: - Lists

    private func listFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        switch filter {
        case .length, .count:
            switch value {
            case .string(let text): return .int(text.unicodeScalars.count)
            case .undefined: return .int(0)
            default: return .int(try elements(of: value).count)
            }
        case .first: return try elements(of: value).first ?? .undefined("the first of nothing")
        case .last: return try elements(of: value).last ?? .undefined("the last of nothing")
        case .list: return .list(try elements(of: value))
        case .join:
            var values = try elements(of: value)
            if let key = arguments.value(1, "attribute") {
                values = try values.map { element throws(ChatTemplateError) in try path(key, of: element) }
            }
            return .string(
                try join(
                    values,
                    try arguments.value(0, "d").map { separator throws(ChatTemplateError) in
                        try text(of: separator)
                    } ?? ""))
        case .reverse:
            if case .string(let text) = value {
                return .string(String(String.UnicodeScalarView(text.unicodeScalars.reversed())))
            }
            return .list(try elements(of: value).reversed())
        case .items:
            if value.isUndefined { return .list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw failure("items needs a dict, got \(value.typeName)")
            }
            return .list(dictionary.items.map { .tuple([$0.key.value, $0.value]) })
        case .dictsort: return try sortedItems(value, arguments)
        case .sort:
            let key = arguments.value(2, "attribute")
            return .list(
                try sorted(
                    try elements(of: value), isReversed: arguments.value(0, "reverse")?.isTrue ?? false,
                    ignoresCase: !(arguments.value(1, "case_sensitive")?.isTrue ?? false)
                ) { element throws(ChatTemplateError) in
                    try key.map { key throws(ChatTemplateError) in try path(key, of: element) } ?? element
                })
        case .unique:
            let ignoresCase = !(arguments.value(0, "case_sensitive")?.isTrue ?? false)
            var seen: [Value] = []
            var kept: [Value] = []
            for element in try elements(of: value) {
                let key = folded(element, ignoresCase)
                try checked(elements: seen.count)
                if !seen.contains(where: { Value.equal($0, key) }) {
                    seen.append(key)
                    kept.append(element)
                }
            }
            return .list(kept)
        case .map: return .list(try map(try elements(of: value), arguments))
        case .select, .reject, .selectattr, .rejectattr:
            return .list(try select(filter, try elements(of: value), arguments))
        case .attr:
            guard case .string(let name) = arguments.positional.first else { throw failure("attr needs a name") }
            return try attribute(name, of: value)
        default: throw failure("no filter named \"\(filter.rawValue)\"")
        }
    }

    private func map(_ values: [Value], _ arguments: CallArguments) throws(ChatTemplateError) -> [Value] {
        if let key = arguments.named.first(where: { $0.name == "attribute" })?.value {
            let fallback = arguments.named.first { $0.name == "default" }?.value
            return try values.map { value throws(ChatTemplateError) in
                let found = try path(key, of: value)
                return found.isUndefined ? fallback ?? found : found
            }
        }
        guard case .string(let name) = arguments.positional.first else {
            throw failure("map needs a filter or attribute")
        }
        let rest = CallArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
        return try values.map { value throws(ChatTemplateError) in try filter(name, value, rest) }
    }

    /// `select`, `reject` and their `attr` forms: by a test, or by truth.
    private func select(
        _ filter: FilterName, _ values: [Value], _ arguments: CallArguments
    ) throws(ChatTemplateError) -> [Value] {
        var rest = arguments.positional[...]
        let usesAttribute = filter == .selectattr || filter == .rejectattr
        let keeps = filter == .select || filter == .selectattr
        let key = usesAttribute ? rest.popFirst() : nil
        guard !usesAttribute || key != nil else { throw failure("\(filter.rawValue) needs an attribute") }
        let test = rest.popFirst()
        let testArguments = CallArguments(positional: Array(rest), named: arguments.named)
        var kept: [Value] = []
        for value in values {
            let subject = try key.map { key throws(ChatTemplateError) in try path(key, of: value) } ?? value
            let passes: Bool
            if case .string(let name) = test {
                passes = try self.test(name, subject, testArguments)
            } else {
                passes = subject.isTrue
            }
            if passes == keeps { kept.append(value) }
        }
        return kept
    }

    /// `a.b.0` inside `value`, as `map(attribute=...)` takes it.
    private func path(_ key: Value, of value: Value) throws(ChatTemplateError) -> Value {
        guard case .string(let path) = key else { return try item(key, of: value) }
        var current = value
        for part in PythonString.split(path, ".") {
            if current.isUndefined { return current }
            current = try item(Int(part).map(Value.int) ?? .string(part), of: current)
        }
        return current
    }

    private func folded(_ value: Value, _ ignoresCase: Bool) -> Value {
        if ignoresCase, case .string(let text) = value { return .string(text.lowercased()) }
        return value
    }

    private func sortedItems(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard case .dictionary(let dictionary) = value else {
            throw failure("dictsort needs a dict, got \(value.typeName)")
        }
        var position = 0
        if case .string("value") = arguments.value(1, "by") { position = 1 }
        let items = dictionary.items.map { Value.tuple([$0.key.value, $0.value]) }
        return .list(
            try sorted(
                items, isReversed: arguments.value(2, "reverse")?.isTrue ?? false,
                ignoresCase: !(arguments.value(0, "case_sensitive")?.isTrue ?? false)
            ) { element throws(ChatTemplateError) in try item(.int(position), of: element) })
    }

    /// A stable sort; of equal keys the first stays first, also in reverse, as in Python.
    private func sorted(
        _ values: [Value], isReversed: Bool, ignoresCase: Bool, by key: (Value) throws(ChatTemplateError) -> Value
    ) throws(ChatTemplateError) -> [Value] {
        let keys = try values.map { value throws(ChatTemplateError) in folded(try key(value), ignoresCase) }
        do {
            return try values.indices.sorted { left, right in
                if try isReversed ? isLess(keys[right], keys[left]) : isLess(keys[left], keys[right]) { return true }
                if try isReversed ? isLess(keys[left], keys[right]) : isLess(keys[right], keys[left]) { return false }
                return left < right
            }.map { values[$0] }
        } catch {
            throw error as? ChatTemplateError ?? failure("the values cannot be ordered")
        }
    }
}
