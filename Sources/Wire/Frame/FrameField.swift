/// Field numbers and kinds of frame.proto. A test holds them against the generated code.
enum FrameField {
    static let kind = 1
    static let streamID = 2
    static let endStream = 3
    static let hello = 4
    static let open = 5
    static let status = 6
    static let credits = 7
    static let token = 8
    static let goAway = 9
    static let hasMessage = 10
    static let message = 14
    static let attachment = 15

    enum Kind {
        static let hello: UInt64 = 1
        static let open: UInt64 = 2
        static let message: UInt64 = 3
        static let halfClose: UInt64 = 4
        static let status: UInt64 = 5
        static let cancel: UInt64 = 6
        static let credit: UInt64 = 7
        static let ping: UInt64 = 8
        static let pong: UInt64 = 9
        static let goAway: UInt64 = 10
    }

    /// Protobuf wire types.
    enum WireType {
        static let varint = 0
        static let fixed64 = 1
        static let lengthDelimited = 2
        static let fixed32 = 5
    }
}
