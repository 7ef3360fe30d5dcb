extension Interpreter {
    /// A filter whose subject is a list or a dictionary.
    func listFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        switch filter {
        case .length, .count:
            switch value {
            case .string(let text):
                try charge(text)
                return .int(PythonString.count(text.string))
            case .undefined: return .int(0)
            default: return .int(try elements(of: value).count)
            }
        case .first: return try elements(of: value).first ?? .undefined("the first of nothing")
        case .last: return try elements(of: value).last ?? .undefined("the last of nothing")
        case .list: return .list(try elements(of: value))
        case .join:
            var values = try elements(of: value).array
            try charge(elements: values.count)
            if let key = arguments.value(1, "attribute") {
                values = try values.map { element throws(ChatTemplateError) in try path(key, of: element) }
            }
            let separator = try arguments.value(0, "d").map { value throws(ChatTemplateError) in try text(of: value) }
            return .string(try join(values, separator ?? ""))
        case .reverse:
            if case .string(let text) = value {
                return try slice(.string(text), start: nil, end: nil, step: -1)
            }
            return try list(try elements(of: value).reversed())
        case .items:
            if value.isUndefined { return try list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw failure("items needs a dict, got \(value.typeName)")
            }
            return try list(try pairs(of: dictionary))
        case .dictsort: return try sortedItems(value, arguments)
        case .sort: return try sort(value, arguments)
        case .unique: return try unique(value, arguments)
        case .groupby: return try group(value, arguments)
        case .batch: return try batches(value, arguments)
        case .slice: return try slices(value, arguments)
        // These take whatever is false, none included, for nothing.
        case .map: return try list(try map(value.isTrue ? try elements(of: value).array : [], arguments))
        case .select, .reject, .selectattr, .rejectattr:
            return try list(try select(filter, value.isTrue ? try elements(of: value).array : [], arguments))
        case .attr:
            guard case .string(let name) = arguments.positional.first else { throw failure("attr needs a name") }
            // A real attribute: never an item.
            if case .dictionary = value, !Methods.ofDictionary.contains(name.string) {
                return .undefined("'dict object' has no attribute '\(name.string)'; it")
            }
            return try attribute(name.string, of: value)
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
        try charge(elements: rest.positional.count)
        return try values.map { value throws(ChatTemplateError) in try filter(name.string, value, rest) }
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
                passes = try self.test(name.string, subject, testArguments)
            } else {
                passes = subject.isTrue
            }
            if passes == keeps { kept.append(value) }
        }
        return kept
    }

    /// `a.b.0` inside `value`, as `map(attribute=...)` takes it.
    func path(_ key: Value, of value: Value) throws(ChatTemplateError) -> Value {
        guard case .string(let path) = key else { return try item(key, of: value) }
        try charge(charactersOf: path, growth: 4)
        var current = value
        for part in PythonString.split(path.string, ".").map({ path[$0] }) {
            try spend(1)
            current = try item(Int(part.string).map(Value.int) ?? .string(part), of: current)
        }
        return current
    }

    func folded(_ value: Value, _ ignoresCase: Bool) throws(ChatTemplateError) -> Value {
        guard ignoresCase, case .string(let text) = value else { return value }
        try charge(charactersOf: text, growth: 2)
        return .text(PythonString.lower(text.string))
    }

    private func isReversed(_ arguments: CallArguments, at index: Int) -> Bool {
        arguments.value(index, "reverse")?.isTrue ?? false
    }

    private func sort(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        let ignoresCase = !(arguments.value(1, "case_sensitive")?.isTrue ?? false)
        var keys: [Value] = []
        if let attribute = arguments.value(2, "attribute") {
            if case .string(let list) = attribute {
                try charge(charactersOf: list, growth: 4)
                keys = PythonString.split(list.string, ",").map { .string(list[$0]) }
            } else {
                keys = [attribute]
            }
        }
        return try list(
            try sorted(try elements(of: value).array, isReversed: isReversed(arguments, at: 0)) {
                element throws(ChatTemplateError) in
                guard !keys.isEmpty else { return try folded(element, ignoresCase) }
                return try list(
                    try keys.map { key throws(ChatTemplateError) in try folded(try path(key, of: element), ignoresCase)
                    })
            })
    }

    private func unique(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        let ignoresCase = !(arguments.value(0, "case_sensitive")?.isTrue ?? false)
        let attribute = arguments.value(1, "attribute")
        var seen = Set<ValueDictionary.Key>()
        var kept: [Value] = []
        for element in try elements(of: value) {
            try spend(4)
            let subject = try attribute.map { key throws(ChatTemplateError) in try path(key, of: element) } ?? element
            guard let key = try key(try folded(subject, ignoresCase)) else {
                throw failure("\(subject.typeName) cannot be compared by unique")
            }
            if seen.insert(key).inserted { kept.append(element) }
        }
        return try list(kept)
    }

    /// Pairs of a value and the elements that have it, sorted by the value.
    private func group(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let attribute = arguments.value(0, "attribute") else { throw failure("groupby needs an attribute") }
        let fallback = arguments.value(1, "default")
        let ignoresCase = !(arguments.value(2, "case_sensitive")?.isTrue ?? false)
        func grouper(_ element: Value) throws(ChatTemplateError) -> Value {
            let found = try path(attribute, of: element)
            return found.isUndefined ? fallback ?? found : found
        }
        let values = try sorted(try elements(of: value).array, isReversed: false) { element throws(ChatTemplateError) in
            try folded(try grouper(element), ignoresCase)
        }
        var groups: [(key: Value, name: Value, values: [Value])] = []
        for element in values {
            let name = try grouper(element)
            let key = try folded(name, ignoresCase)
            if let last = groups.last, try isEqual(last.key, key) {
                groups[groups.count - 1].values.append(element)
            } else {
                groups.append((key, name, [element]))
            }
        }
        return try list(
            try groups.map { group throws(ChatTemplateError) in try tuple([group.name, try list(group.values)]) })
    }

    private func batches(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let size = arguments.value(0, "linecount")?.integer, size > 0 else {
            throw failure("batch needs a positive count")
        }
        let values = try elements(of: value).array
        var batches: [Value] = []
        var start = 0
        while start < values.count {
            let end = start + min(size, values.count - start)
            var batch = Array(values[start..<end])
            if let fill = arguments.value(1, "fill_with"), !fill.isNone, batch.count < size {
                try charge(elements: size)
                batch += Array(repeating: fill, count: size - batch.count)
            }
            try spend(2)
            batches.append(try list(batch))
            start = end
        }
        return try list(batches)
    }

    private func slices(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let count = arguments.value(0, "slices")?.integer, count > 0 else {
            throw failure("slice needs a positive count")
        }
        try charge(elements: count)
        try spend(2 * count)
        let values = try elements(of: value).array
        let longer = values.count % count
        var slices: [Value] = []
        var start = 0
        for index in 0..<count {
            let end = start + values.count / count + (index < longer ? 1 : 0)
            var slice = Array(values[start..<end])
            if let fill = arguments.value(1, "fill_with"), !fill.isNone, index >= longer { slice.append(fill) }
            slices.append(try list(slice))
            start = end
        }
        return try list(slices)
    }

    private func sortedItems(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard case .dictionary(let dictionary) = value else {
            throw failure("dictsort needs a dict, got \(value.typeName)")
        }
        var position = 0
        if case .string("value") = arguments.value(1, "by") { position = 1 }
        let ignoresCase = !(arguments.value(0, "case_sensitive")?.isTrue ?? false)
        let items = try pairs(of: dictionary)
        return try list(
            try sorted(items, isReversed: isReversed(arguments, at: 2)) { element throws(ChatTemplateError) in
                try folded(try item(.int(position), of: element), ignoresCase)
            })
    }

    /// A stable sort; of equal keys the first stays first, also in reverse, as in Python.
    private func sorted(
        _ values: [Value], isReversed: Bool, by key: (Value) throws(ChatTemplateError) -> Value
    ) throws(ChatTemplateError) -> [Value] {
        try charge(elements: 2 * values.count)
        let keys = try values.map { value throws(ChatTemplateError) in try key(value) }
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
