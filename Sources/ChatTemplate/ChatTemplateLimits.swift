/// Bounds on one rendering.
///
/// Work is counted in steps that stand for time and memory alike, so that a template is stopped after the same work on
/// every machine: a step is one statement or expression, one element of a list, 32 bytes of text that are copied, or 4 that
/// are looked at character by character. It takes a fraction of a microsecond and keeps at most some 32 bytes.
package struct ChatTemplateLimits: Sendable {
    package var maxSteps = 4_000_000
    /// Bytes of the rendered text, and of any string made on the way, with 16 for each of its marks.
    package var maxOutputBytes = 16 << 20
    /// Elements of any list made on the way.
    package var maxElements = 1 << 20
    /// Nesting of expressions, blocks and macro calls together; also of scopes.
    package var maxDepth = 400
    /// Nesting of lists, dictionaries and other values that hold values.
    package var maxValueDepth = 128

    package init() {}
}
