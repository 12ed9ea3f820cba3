// Types of the bundle, for tsc: the package's own where it is installed (npm ci), unresolved where it is not.
export { default } from 'uplot'
