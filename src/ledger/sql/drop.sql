drop table _hypercopy.backend, _hypercopy.chunk, _hypercopy.reject, _hypercopy.block, _hypercopy.step, _hypercopy.task, _hypercopy.job;
drop schema _hypercopy;
