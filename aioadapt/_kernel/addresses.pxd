from aioadapt._kernel.linux cimport sockaddr_storage, socklen_t


cdef object address_of(sockaddr_storage *address, socklen_t size)
cdef object peer_address(int fd)
cdef object own_address(int fd)
