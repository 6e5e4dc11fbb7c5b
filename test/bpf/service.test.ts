/** Services on kernels with all that the programs can use, and on those without (cfg_has_* of bpf/maps/config.h). */
import { describeServices } from './service-cases.ts';

describeServices('with newer kernel functions', { has_kern_ctx: 1, has_csum_ipv6: 1, has_coarse_time: 1 });
describeServices('with what kernel 5.10 has', { has_kern_ctx: 0, has_csum_ipv6: 0, has_coarse_time: 0 });
