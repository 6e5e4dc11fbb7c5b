/**
 * The installer as one module: a bundle of its own (scripts/bundle.ts), since commands that ask the agent of a node need neither the
 * client of the API nor the schemas.
 */

export { assignmentLayer, parseLayer } from '../../manifests/source/values.ts';
export { install } from './install.ts';
export { uninstall } from './uninstall.ts';
