/** A UUID of version 7 (RFC 9562) of this time, in epoch milliseconds, and 20 hex digits of chance. */
export function uuidv7(now: number, random: string): string {
  const time = Math.floor(now).toString(16).padStart(12, '0')
  const variant = (8 + (Number.parseInt(random[3]!, 16) & 3)).toString(16)
  const tail = random.slice(-15)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${tail.slice(0, 3)}-${tail.slice(3)}`
}
