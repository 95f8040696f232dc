import { describeRequests } from '../support/requests-spec.ts';

describeRequests('inline');
