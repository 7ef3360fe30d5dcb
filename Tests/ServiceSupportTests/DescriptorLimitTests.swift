import Foundation
import ServiceSupport
import Testing

struct DescriptorLimitTests {
    @Test("the soft limit is raised to the hard one, and only once")
    func raise() {
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        let change = DescriptorLimit.raise()
        #expect(change.before == Int(clamping: limit.rlim_cur))
        #expect(change.after == max(change.before, min(Int(clamping: limit.rlim_max), 1 << 20)))
        #expect(DescriptorLimit.current == change.after)
        let again = DescriptorLimit.raise()
        #expect(again.before == change.after && again.after == change.after)
    }
}
