/**
 * The proxy holds a personal login, so its address may only be a literal loopback IP (the name `localhost` can be
 * pointed elsewhere), without user, password, query or fragment. Returns undefined for anything else.
 */
export function codexAddress(value: string): string | undefined {
  let url: URL
  try {
    url = new URL(value)
  } catch {
    return undefined
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
  if (!/^127(\.\d{1,3}){3}$/.test(url.hostname) && url.hostname !== '[::1]') return undefined
  if (url.username || url.password || value.includes('?') || value.includes('#')) return undefined
  return value.replace(/\/+$/, '')
}
