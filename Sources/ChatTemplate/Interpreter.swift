/// Walks a template's syntax tree. One instance renders once.
final class Interpreter {
    /// What a statement asks of the loop around it.
    enum Flow { case normal, breakLoop, continueLoop }

    let limits: ChatTemplateLimits
    /// The moment that `strftime_now` tells, in seconds since 1970.
    let secondsSince1970: Double
    private var output = Text("")
    private var outputByteCount = 0
    private var steps = 0
    private var depth = 0
    private var line = 0
    /// Scopes that macros hold on to, and namespaces: these may hold each other in a circle or in a chain of any length.
    /// Kept until the end, and emptied there one by one.
    private var macroScopes: [Scope] = []
    private var namespaces: [Namespace] = []

    init(limits: ChatTemplateLimits, secondsSince1970: Double) {
        self.limits = limits
        self.secondsSince1970 = secondsSince1970
    }

    /// The text that `statements` render to with `variables`.
    func render(_ statements: [Statement], variables: [(String, Value)]) throws(ChatTemplateError) -> Text {
        let globals = Scope(parent: nil)
        globals.set("raise_exception", .function(.raiseException))
        globals.set("strftime_now", .function(.strftimeNow))
        globals.set("range", .function(.range))
        globals.set("namespace", .function(.namespace))
        globals.set("dict", .function(.dict))
        globals.set("cycler", .function(.cycler))
        globals.set("joiner", .function(.joiner))
        for (name, value) in variables { globals.set(name, value) }
        defer {
            for scope in macroScopes { scope.clear() }
            for namespace in namespaces { namespace.attributes = ValueDictionary() }
        }
        do throws(ChatTemplateError) {
            _ = try execute(statements, Scope(parent: globals))
        } catch {
            guard error.line == nil else { throw error }
            throw ChatTemplateError(code: error.code, message: error.message, line: line, cause: error.cause)
        }
        return output
    }

    // MARK: - Bounds

    func failure(_ message: String) -> ChatTemplateError {
        ChatTemplateError(code: .evaluation, message: message)
    }

    private func limitReached(_ message: String) -> ChatTemplateError {
        ChatTemplateError(code: .limitExceeded, message: message)
    }

    /// Counts work; see ``ChatTemplateLimits``.
    func spend(_ work: Int) throws(ChatTemplateError) {
        steps += work
        guard steps <= limits.maxSteps else { throw limitReached("more than \(limits.maxSteps) steps") }
    }

    func nested<T>(_ body: () throws(ChatTemplateError) -> T) throws(ChatTemplateError) -> T {
        try spend(1)
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.maxDepth else { throw limitReached("nested deeper than \(limits.maxDepth)") }
        return try body()
    }

    /// Refuses a string that is too long. Pass `byteCount` to refuse before the string is made.
    func checked(byteCount: Int) throws(ChatTemplateError) {
        guard byteCount <= limits.maxOutputBytes else {
            throw limitReached("a string of more than \(limits.maxOutputBytes) bytes")
        }
    }

    /// Counts the work of copying `byteCount` bytes, before it is done; refuses more than a string may have.
    func charge(byteCount: Int) throws(ChatTemplateError) {
        try checked(byteCount: byteCount)
        try spend(byteCount / 32)
    }

    /// Counts the work of copying `text` so many times, before it is done.
    func charge(_ text: Text, times count: Int = 1) throws(ChatTemplateError) {
        let (size, overflow) = text.size.multipliedReportingOverflow(by: count)
        try charge(byteCount: overflow ? .max : size)
    }

    /// Counts the work of going through `text` character by character, before it is done.
    ///
    /// - Parameter growth: how many times longer than the text the result may be.
    func charge(charactersOf text: Text, growth: Int = 1) throws(ChatTemplateError) {
        try charge(text, times: growth)
        try spend(text.byteCount / 4)
    }

    /// Counts the work of looking for `part` in `text`, before it is done.
    func charge(searchIn text: Text, for part: Text) throws(ChatTemplateError) {
        try spend(text.byteCount / 16 + part.byteCount / 2)
    }

    /// Counts the work of making a list of `count` elements, before it is done; refuses too many.
    func charge(elements count: Int) throws(ChatTemplateError) {
        guard count <= limits.maxElements else {
            throw limitReached("a list of more than \(limits.maxElements) elements")
        }
        try spend(count)
    }

    private func checked(depth: Int) throws(ChatTemplateError) {
        guard depth <= limits.maxValueDepth else {
            throw limitReached("values nested deeper than \(limits.maxValueDepth)")
        }
    }

    // MARK: - Values that hold values

    func list(_ values: [Value]) throws(ChatTemplateError) -> Value { .list(try made(values)) }

    func tuple(_ values: [Value]) throws(ChatTemplateError) -> Value { .tuple(try made(values)) }

    func made(_ values: [Value]) throws(ChatTemplateError) -> ValueList {
        try charge(elements: values.count)
        let list = ValueList(values)
        try checked(depth: list.depth)
        return list
    }

    /// A dictionary whose entries have been counted.
    func made(_ dictionary: ValueDictionary) throws(ChatTemplateError) -> Value {
        try checked(depth: dictionary.depth)
        return .dictionary(dictionary)
    }

    /// The keys of a dictionary with their values, as pairs.
    func pairs(of dictionary: ValueDictionary) throws(ChatTemplateError) -> [Value] {
        try spend(4 * dictionary.count)
        return try dictionary.items.map { item throws(ChatTemplateError) in try tuple([item.key.value, item.value]) }
    }

    private func innerScope(of scope: Scope) throws(ChatTemplateError) -> Scope {
        guard scope.depth < limits.maxDepth else { throw limitReached("scopes nested deeper than \(limits.maxDepth)") }
        // Its table is an allocation that most scopes need.
        try spend(1)
        return Scope(parent: scope)
    }

    private func keep(_ scope: Scope) throws(ChatTemplateError) {
        try spend(16)
        if macroScopes.last !== scope { macroScopes.append(scope) }
    }

    private func write(_ text: Text) throws(ChatTemplateError) {
        outputByteCount += text.size
        try checked(byteCount: outputByteCount)
        try charge(text)
        output.append(text)
    }

    /// What `body` writes, instead of writing it.
    private func capture(_ body: () throws(ChatTemplateError) -> Void) throws(ChatTemplateError) -> Text {
        let outer = output
        let outerCount = outputByteCount
        output = Text("")
        try body()
        defer {
            output = outer
            outputByteCount = outerCount
        }
        return output
    }

    // MARK: - Statements

    private func execute(_ statements: [Statement], _ scope: Scope) throws(ChatTemplateError) -> Flow {
        for statement in statements {
            line = statement.line
            let flow = try nested { () throws(ChatTemplateError) in try execute(statement.kind, scope) }
            if flow != .normal { return flow }
        }
        return .normal
    }

    private func execute(_ statement: Statement.Kind, _ scope: Scope) throws(ChatTemplateError) -> Flow {
        switch statement {
        case .text(let text): try write(Text(text))
        case .output(let expression): try write(try text(of: try evaluate(expression, scope)))
        case .forLoop(let statement):
            return try loop(statement, over: try evaluate(statement.values, scope), depth: 0, scope)
        case .ifElse(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition, scope).isTrue {
                return try execute(body, scope)
            }
            return try execute(otherwise, scope)
        case .set(let target, let expression): try assign(target, try evaluate(expression, scope), scope)
        case .setBlock(let target, let filters, let body):
            let text = try capture { () throws(ChatTemplateError) in _ = try execute(body, try innerScope(of: scope)) }
            try assign(target, try apply(filters, to: .string(text), scope), scope)
        case .macro(let definition):
            try keep(scope)
            scope.set(definition.name, .macro(Macro(definition, scope: scope)))
        case .callBlock(let definition, let call):
            guard case .call(let callee, let arguments) = call else { throw failure("expected a call") }
            try keep(scope)
            var values = try evaluate(arguments, scope)
            values.named.append(("caller", .macro(Macro(definition, scope: scope))))
            try write(try text(of: try self.call(try evaluate(callee, scope), values, described: "the macro")))
        case .filterBlock(let filters, let body):
            let text = try capture { () throws(ChatTemplateError) in _ = try execute(body, try innerScope(of: scope)) }
            try write(try self.text(of: try apply(filters, to: .string(text), scope)))
        case .with(let assignments, let body):
            let inner = try innerScope(of: scope)
            for (target, value) in assignments { try assign(target, try evaluate(value, scope), inner) }
            return try execute(body, inner)
        case .group(let body): return try execute(body, scope)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .normal
    }

    private func loop(
        _ statement: LoopStatement, over value: Value, depth: Int, _ scope: Scope
    ) throws(ChatTemplateError) -> Flow {
        var values = try elements(of: value)
        if let filter = statement.filter {
            try charge(elements: values.count)
            var kept: [Value] = []
            for value in values {
                let inner = try innerScope(of: scope)
                try assign(statement.target, value, inner)
                if try evaluate(filter, inner).isTrue { kept.append(value) }
            }
            values = ValueList(kept, depth: values.depth)
        }
        if values.isEmpty { return try execute(statement.otherwise, try innerScope(of: scope)) }
        let loop = Loop(values, depth: depth, recursion: statement.isRecursive ? (statement, scope) : nil)
        defer { loop.end() }
        for (index, value) in values.enumerated() {
            loop.index = index
            try spend(1)
            let inner = try innerScope(of: scope)
            inner.set("loop", .loop(loop))
            try assign(statement.target, value, inner)
            if try execute(statement.body, inner) == .breakLoop { break }
        }
        return .normal
    }

    /// `loop(values)` inside a recursive loop: the same loop over other values, as text.
    private func recurse(_ loop: Loop, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let (statement, scope) = loop.recursion else {
            throw failure("loop cannot be called: the for tag does not say recursive")
        }
        guard let values = arguments.positional.first else { throw failure("loop needs values") }
        let callLine = line
        let text = try capture { () throws(ChatTemplateError) in
            _ = try self.loop(statement, over: values, depth: loop.depth + 1, scope)
        }
        line = callLine
        return .string(text)
    }

    private func assign(_ target: Target, _ value: Value, _ scope: Scope) throws(ChatTemplateError) {
        switch target {
        case .name(let name): scope.set(name, value)
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace) = scope.value(name) else {
                throw failure("cannot set attribute \(attribute) of \(name), which is not a namespace")
            }
            namespace.attributes[attribute] = value
        case .tuple(let targets):
            let values = try elements(of: value)
            guard values.count == targets.count else {
                throw failure("cannot unpack \(values.count) values into \(targets.count) names")
            }
            for (target, value) in zip(targets, values) { try assign(target, value, scope) }
        }
    }

    // MARK: - Expressions

    func evaluate(_ expression: Expression, _ scope: Scope) throws(ChatTemplateError) -> Value {
        try nested { () throws(ChatTemplateError) in try evaluateNested(expression, scope) }
    }

    private func evaluateNested(_ expression: Expression, _ scope: Scope) throws(ChatTemplateError) -> Value {
        switch expression {
        case .literal(let value): return Value(value, isUntrusted: false)
        case .name(let name): return scope.value(name) ?? .undefined("'\(name)'")
        case .list(let items):
            return try list(try items.map { item throws(ChatTemplateError) in try evaluate(item, scope) })
        case .tuple(let items):
            return try tuple(try items.map { item throws(ChatTemplateError) in try evaluate(item, scope) })
        case .dictionary(let items):
            var dictionary = ValueDictionary()
            for (key, value) in items {
                let keyValue = try evaluate(key, scope)
                guard let key = try self.key(keyValue) else {
                    throw failure("\(keyValue.typeName) cannot be a dictionary key")
                }
                try spend(4)
                dictionary[key] = try evaluate(value, scope)
            }
            return try made(dictionary)
        case .attribute(let base, let name): return try attribute(name, of: try evaluate(base, scope))
        case .subscripted(let base, let key): return try item(try evaluate(key, scope), of: try evaluate(base, scope))
        case .slice(let base, let start, let end, let step):
            func bound(_ part: Expression?) throws(ChatTemplateError) -> Int? {
                guard let part else { return nil }
                let value = try evaluate(part, scope)
                if case .none = value { return nil }
                guard let bound = value.integer else {
                    throw failure("slice bounds must be integers, got \(value.typeName)")
                }
                return bound
            }
            return try slice(
                try evaluate(base, scope), start: try bound(start), end: try bound(end), step: try bound(step) ?? 1)
        case .call(let callee, let arguments):
            let function = try evaluate(callee, scope)
            return try call(function, try evaluate(arguments, scope), described: describe(callee))
        case .filter(let base, let name, let arguments):
            return try filter(name, try evaluate(base, scope), try evaluate(arguments, scope))
        case .test(let base, let name, let arguments, let isNegated):
            return .bool(try test(name, try evaluate(base, scope), try evaluate(arguments, scope)) != isNegated)
        case .unary(let unary, let operand): return try apply(unary, try evaluate(operand, scope))
        case .binary(let binary, let left, let right):
            return try apply(binary, try evaluate(left, scope), try evaluate(right, scope))
        case .comparison(let first, let rest):
            var left = try evaluate(first, scope)
            for (comparison, operand) in rest {
                let right = try evaluate(operand, scope)
                guard try compare(comparison, left, right) else { return .bool(false) }
                left = right
            }
            return .bool(true)
        case .and(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? try evaluate(right, scope) : value
        case .or(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? value : try evaluate(right, scope)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
            guard let otherwise else { return .undefined("the inline if without else") }
            return try evaluate(otherwise, scope)
        }
    }

    private func evaluate(_ arguments: Arguments, _ scope: Scope) throws(ChatTemplateError) -> CallArguments {
        var values = CallArguments()
        for argument in arguments.positional { values.positional.append(try evaluate(argument, scope)) }
        if let unpacked = arguments.unpacked {
            let more = try elements(of: try evaluate(unpacked, scope))
            try charge(elements: more.count)
            values.positional += more.array
        }
        for (name, argument) in arguments.named { values.named.append((name, try evaluate(argument, scope))) }
        if let unpacked = arguments.unpackedNamed {
            guard case .dictionary(let dictionary) = try evaluate(unpacked, scope) else {
                throw failure("** needs a dict")
            }
            try charge(elements: 2 * dictionary.count)
            for (key, value) in dictionary.items {
                guard case .string(let name) = key.value else { throw failure("names of arguments are strings") }
                values.named.append((name.string, value))
            }
        }
        return values
    }

    private func describe(_ callee: Expression) -> String {
        switch callee {
        case .name(let name): "'\(name)'"
        case .attribute(_, let name): "'\(name)'"
        default: "the value"
        }
    }

    private func apply(
        _ filters: [(name: String, arguments: Arguments)], to start: Value, _ scope: Scope
    ) throws(ChatTemplateError) -> Value {
        var value = start
        for (name, arguments) in filters { value = try filter(name, value, try evaluate(arguments, scope)) }
        return value
    }

    // MARK: - Calls

    private func call(
        _ function: Value, _ arguments: CallArguments, described: String
    ) throws(ChatTemplateError) -> Value {
        switch function {
        case .macro(let macro): return .string(try call(macro, arguments))
        case .function(let function): return try call(function, arguments)
        case .loop(let loop): return try recurse(loop, arguments)
        case .joiner(let joiner):
            defer { joiner.isUsed = true }
            return joiner.isUsed ? joiner.separator : .text("")
        case .undefined(let name): throw failure("\(name) is undefined, so it cannot be called")
        default: throw failure("\(described) is \(function.typeName), which cannot be called")
        }
    }

    private func call(_ macro: Macro, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        let definition = macro.definition
        let scope = try innerScope(of: macro.scope)
        var rest = arguments.positional[...]
        var named = arguments.named
        for parameter in definition.parameters {
            if let value = rest.popFirst() {
                scope.set(parameter.name, value)
            } else if let index = named.firstIndex(where: { $0.name == parameter.name }) {
                scope.set(parameter.name, named.remove(at: index).value)
            } else if let defaultValue = parameter.defaultValue {
                scope.set(parameter.name, try evaluate(defaultValue, scope))
            } else {
                scope.set(parameter.name, .undefined("parameter '\(parameter.name)'"))
            }
        }
        if let index = named.firstIndex(where: { $0.name == "caller" }) {
            scope.set("caller", named.remove(at: index).value)
        }
        if definition.takesMorePositional {
            scope.set("varargs", try tuple(Array(rest)))
        } else if !rest.isEmpty {
            throw failure("macro '\(definition.name)' takes \(definition.parameters.count) arguments")
        }
        if definition.takesMoreNamed {
            var rest = ValueDictionary()
            for (name, value) in named { rest[name] = value }
            try spend(4 * named.count)
            scope.set("kwargs", try made(rest))
        } else if let name = named.first?.name {
            throw failure("macro '\(definition.name)' takes no argument '\(name)'")
        }
        let callLine = line
        let text = try capture { () throws(ChatTemplateError) in _ = try execute(definition.body, scope) }
        line = callLine
        return text
    }

    private func call(_ function: Function, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        switch function {
        case .raiseException:
            let message = arguments.positional.first
            throw ChatTemplateError(
                code: .raised,
                message: try message.map { value throws(ChatTemplateError) in
                    try text(of: value).string
                } ?? "the template refused the messages")
        case .strftimeNow:
            guard case .string(let format) = arguments.positional.first else {
                throw failure("strftime_now needs a format")
            }
            guard format.byteCount <= 4096 else {
                throw failure("strftime_now with a format of \(format.byteCount) bytes")
            }
            try charge(charactersOf: format, growth: 16)
            let text = DateFormat.format(format.string, secondsSince1970: secondsSince1970)
            return .string(Text(text, isUntrusted: format.hasUntrusted))
        case .range: return try range(arguments.positional)
        case .namespace:
            let namespace = Namespace()
            namespaces.append(namespace)
            try spend(8)
            namespace.attributes = try dictionary(arguments)
            return .namespace(namespace)
        case .dict: return try made(try dictionary(arguments))
        case .cycler:
            guard !arguments.positional.isEmpty else { throw failure("cycler needs values") }
            return .cycler(Cycler(try made(arguments.positional)))
        case .joiner:
            let separator = arguments.value(0, "sep") ?? .text(", ")
            try checked(depth: separator.depth + 1)
            return .joiner(Joiner(separator))
        case .method(let receiver, let name):
            return try nested { () throws(ChatTemplateError) in try callMethod(name, receiver, arguments) }
        }
    }

    private func dictionary(_ arguments: CallArguments) throws(ChatTemplateError) -> ValueDictionary {
        var result = ValueDictionary()
        for argument in arguments.positional {
            if case .dictionary(let dictionary) = argument {
                // What is set below makes a copy of it.
                try charge(elements: 4 * dictionary.count)
                result = dictionary
                continue
            }
            for pair in try elements(of: argument) {
                let parts = try elements(of: pair)
                guard parts.count == 2, let key = try key(parts[0]) else {
                    throw failure("a dictionary needs pairs of key and value")
                }
                try spend(4)
                result[key] = parts[1]
            }
        }
        for (name, value) in arguments.named { result[name] = value }
        try spend(4 * arguments.named.count)
        return result
    }

    private func range(_ arguments: [Value]) throws(ChatTemplateError) -> Value {
        let bounds = arguments.compactMap(\.integer)
        guard bounds.count == arguments.count, (1...3).contains(bounds.count) else {
            throw failure("range needs one to three integers")
        }
        let start = bounds.count == 1 ? 0 : bounds[0]
        let end = bounds.count == 1 ? bounds[0] : bounds[1]
        let step = bounds.count == 3 ? bounds[2] : 1
        guard step != 0 else { throw failure("range with a step of 0") }
        var values: [Value] = []
        var current = start
        while step > 0 ? current < end : current > end {
            values.append(.int(current))
            try spend(1)
            guard values.count <= 100_000 else { throw limitReached("a range of more than 100000 elements") }
            let (next, overflow) = current.addingReportingOverflow(step)
            if overflow { break }
            current = next
        }
        return .list(ValueList(values, depth: 1))
    }
}

/// Evaluated arguments of a call, filter or test.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// The argument at `index`, or called `name`.
    func value(_ index: Int, _ name: String) -> Value? {
        if index < positional.count { return positional[index] }
        return named.first { $0.name == name }?.value
    }
}
