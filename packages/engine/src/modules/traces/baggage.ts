/** Entries of a W3C baggage header (https://www.w3.org/TR/baggage/); properties after `;` are left out. */
export function baggageOf(header: string | undefined): Map<string, string> {
  const entries = new Map<string, string>()
  for (const member of header?.split(',') ?? []) {
    const [pair] = member.split(';')
    const equals = pair!.indexOf('=')
    if (equals > 0) entries.set(pair!.slice(0, equals).trim(), decoded(pair!.slice(equals + 1).trim()))
  }
  return entries
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
