export { claimOf, isFirst, type KeyedCall, type KeyedRequest, type KeyedWork, Keys, placeOf, under } from './keys.ts'
