export {
  ensureCredential,
  ensureOwnerToken,
  readOwnerToken,
  rotateOwnerToken,
} from './supervisor/credentials.ts'
