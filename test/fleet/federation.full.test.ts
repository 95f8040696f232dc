import { describeFederation } from '../support/federation-spec.ts';

describeFederation('persistent');
