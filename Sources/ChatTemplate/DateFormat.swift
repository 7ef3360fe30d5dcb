/// `strftime` in UTC and English, without a locale to depend on.
enum DateFormat {
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
    private static let weekdays = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"]

    /// `secondsSince1970` in the words of `format`; unknown conversions stay as they are.
    static func format(_ format: String, secondsSince1970: Double) -> String {
        // The years 1 to 9999; a clock beyond that is broken anyway.
        let seconds = Int(min(max(secondsSince1970, -62_135_596_800), 253_402_300_799).rounded(.down))
        let day = Int((Double(seconds) / 86400).rounded(.down))
        let time = seconds - day * 86400
        let (year, month, dayOfMonth) = civil(day)
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60)
        let weekday = weekdays[(day % 7 + 7) % 7]
        let sinceSunday = ((day + 4) % 7 + 7) % 7
        let dayOfYear = day - days(year, 1, 1) + 1
        let isoWeek = isoWeek(day, year: year)

        var result = ""
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%", var conversion = scalars.popFirst() else {
                result.unicodeScalars.append(scalar)
                continue
            }
            var isPadded = true
            if conversion == "-", let next = scalars.popFirst() {
                isPadded = false
                conversion = next
            }
            func number(_ value: Int, _ width: Int = 2) -> String {
                let digits = String(value)
                return isPadded ? String(repeating: "0", count: max(width - digits.utf8.count, 0)) + digits : digits
            }
            let twelveHour = hour % 12 == 0 ? 12 : hour % 12
            switch conversion {
            case "Y": result += String(year)
            case "y": result += number(year % 100)
            case "m": result += number(month)
            case "d": result += number(dayOfMonth)
            case "e": result += dayOfMonth < 10 ? " \(dayOfMonth)" : "\(dayOfMonth)"
            case "B": result += months[month - 1]
            case "b", "h": result += months[month - 1].prefix(3)
            case "A": result += weekday
            case "a": result += weekday.prefix(3)
            case "H": result += number(hour)
            case "I": result += number(twelveHour)
            case "M": result += number(minute)
            case "S": result += number(second)
            case "p": result += hour < 12 ? "AM" : "PM"
            case "j": result += number(dayOfYear, 3)
            case "f": result += "000000"
            case "C": result += number(year / 100)
            case "D", "x": result += "\(number(month))/\(number(dayOfMonth))/\(number(year % 100))"
            case "R": result += "\(number(hour)):\(number(minute))"
            case "c":
                let padded = dayOfMonth < 10 ? " \(dayOfMonth)" : "\(dayOfMonth)"
                result += "\(weekday.prefix(3)) \(months[month - 1].prefix(3)) \(padded) "
                result += "\(number(hour)):\(number(minute)):\(number(second)) \(year)"
            case "r": result += "\(number(twelveHour)):\(number(minute)):\(number(second)) \(hour < 12 ? "AM" : "PM")"
            case "P": result += hour < 12 ? "am" : "pm"
            case "k": result += hour < 10 ? " \(hour)" : "\(hour)"
            case "l": result += twelveHour < 10 ? " \(twelveHour)" : "\(twelveHour)"
            case "n": result += "\n"
            case "t": result += "\t"
            case "s": result += String(seconds)
            case "w": result += String(sinceSunday)
            case "u": result += String(sinceSunday == 0 ? 7 : sinceSunday)
            case "U": result += number((dayOfYear + 6 - sinceSunday) / 7)
            case "W": result += number((dayOfYear + 6 - (sinceSunday + 6) % 7) / 7)
            case "G": result += String(isoWeek.year)
            case "V": result += number(isoWeek.week)
            case "F": result += "\(year)-\(number(month))-\(number(dayOfMonth))"
            case "T", "X": result += "\(number(hour)):\(number(minute)):\(number(second))"
            case "Z": result += "UTC"
            case "z": result += "+0000"
            case "%": result += "%"
            default: result += "%\(conversion)"
            }
        }
        return result
    }

    /// The date of a day counted from 1970-01-01: years that begin in March make the leap day the last.
    private static func civil(_ day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    /// The week that a day belongs to: of the year in which its Thursday lies.
    private static func isoWeek(_ day: Int, year: Int) -> (year: Int, week: Int) {
        let thursday = day - ((day + 3) % 7 + 7) % 7 + 3
        let year = civil(thursday).year
        return (year, (thursday - days(year, 1, 1)) / 7 + 1)
    }

    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
